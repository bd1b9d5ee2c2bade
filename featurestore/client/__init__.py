"""The server's clients: the same questions as `FeatureStore` answers, asked over HTTP."""

from featurestore.client.asynchronous import AsyncClient
from featurestore.client.result import ServedFeatures
from featurestore.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "ServedFeatures"]
