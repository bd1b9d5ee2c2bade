"""What is asked over HTTP: `featurestore serve` answers features, pushes and what is applied.

A request passes the gate (`serving.gate`): host, key and scope, limits, deadline; then its route's handler. Routes that
are asked often read and write bytes themselves (`hot`), the others are FastAPI routes; one table (`serving.routes`)
holds both.
"""
