"use strict";
const byId = (id) => document.getElementById(id);
const list = byId("mistakes");
const articles = [...list.querySelectorAll("article")];
if (articles.length) {
  const [pair, search, order] = ["pair", "search", "order"].map(byId);
  const texts = articles.map((article) => article.querySelector(".text").textContent.toLowerCase());

  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    articles.forEach((article, index) => {
      const fits = (!pair.value || article.dataset.pair === pair.value) && texts[index].includes(wanted);
      article.hidden = !fits;
      shown += fits;
    });
    byId("none").hidden = shown > 0;
    byId("status").textContent = `${shown} of ${articles.length} mistakes`;
  };
  const sort = () => {
    const sorted = order.value === "rising" ? [...articles].reverse() : articles;
    list.prepend(...sorted);
  };
  const fold = (button, isFolded) => {
    byId(button.getAttribute("aria-controls")).classList.toggle("folded", isFolded);
    button.setAttribute("aria-expanded", String(!isFolded));
    button.textContent = isFolded ? "Show the whole text" : "Fold the text";
  };

  for (const button of list.querySelectorAll(".unfold")) {
    button.hidden = false;
    fold(button, true);
    button.addEventListener("click", () => fold(button, button.getAttribute("aria-expanded") === "true"));
  }
  pair.addEventListener("change", filter);
  search.addEventListener("input", filter);
  order.addEventListener("change", sort);
  byId("controls").hidden = false;
  // Browsers keep the values of controls when a page is loaded again.
  sort();
  filter();
}
