"""MLServer with its Hugging Face runtime, which runs the network of the artifact in ONNX Runtime."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

from mlserver import MLServer, ModelSettings, Settings
from mlserver.settings import ModelParameters
from mlserver_huggingface import HuggingFaceRuntime

from benchmarks.peers.mlserver import ANY_FREE_PORT, MAX_BATCH_SECONDS
from benchmarks.peers.pipeline import HOST, MAX_BATCH_SIZE, artifact, port


def write_folder(folder: Path) -> None:
    """Write the artifact in the layout of Hugging Face."""
    manifest = json.loads((artifact() / "artifact.json").read_text(encoding="utf-8"))
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copy(artifact() / name, folder)
    labels = dict(enumerate(manifest["labels"]))
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "pad_token_id": manifest["model"]["pad_id"],
        "id2label": labels,
        "label2id": {label: number for number, label in labels.items()},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    longest = manifest["text"]["max_tokens"] + 2  # with the special tokens
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "pad_token": "[PAD]",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")


async def main(folder: Path) -> None:
    """Serve until a signal stops the process."""
    settings = Settings(
        host=HOST,
        http_port=port(),
        grpc_port=ANY_FREE_PORT,
        metrics_port=ANY_FREE_PORT,
        parallel_workers=0,  # MLServer 1.7.1 cannot start workers with uvloop 0.23
        debug=False,
    )
    extra = {"task": "text-classification", "pretrained_model": str(folder), "optimum_model": True}
    model = ModelSettings(
        name="classifier",
        implementation=HuggingFaceRuntime,
        max_batch_size=MAX_BATCH_SIZE,
        max_batch_time=MAX_BATCH_SECONDS,
        parameters=ModelParameters(extra=extra),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        write_folder(Path(temporary))
        asyncio.run(main(Path(temporary)))
