"""The path of a request, in its order.

`protocol` reads it from a connection within the bounds of `bounded` and `head`, `edge` checks who asks,
`endpoint` and `body` turn it into a call of the core, and `problems` turns errors into answers.
"""
