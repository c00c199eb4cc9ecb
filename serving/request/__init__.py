"""The path of a request, in this order:

1. `bounded` reads it from a connection within the bounds of `head`, `budget` and `stall`.
2. `protocol` extends `bounded`: it refuses requests early (`plain`, `written_answer`) and notices clients
   that disconnect (`hangup`).
3. `edge` counts the request and checks who may send it (`access`).
4. `endpoint` reads and checks the `body`, and calls one of the functions in `endpoints`, which call the core.
5. `problems` turns errors into answers.
"""
