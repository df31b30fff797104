"""Stores of the library obstore, opened for a place: S3, Google Cloud Storage or Azure.

The library repeats a request once at most: our engine would rather read from parity than wait, and
puts a retry round its writes itself. Its time-out ends requests whose caller has given up; it
leaves a part of a large object the time that `limit` grants it.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from obstore.store import AzureStore, GCSStore, S3Store

from ..credentials import S3Keys, own_value, s3_keys
from .place import Place

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Credential

Store = S3Store | GCSStore | AzureStore

CONNECT: Final = timedelta(seconds=5)
"""How long a connection may take to come about."""
LONGEST: Final = timedelta(seconds=330)
"""How long a request may take in all: 16 MiB at 64 KiB/s, and a minute."""


def open_store(backend: str, place: Place) -> Store:
    """Open the store at `place`; asks the network nothing. DeniedError without credentials.

    Of S3 each key is deleted by a request of its own: one for many is what servers most often do
    not know. `open_bulk` has those.
    """
    if place.scheme == "gs":
        return _google(backend, place)
    return _azure(backend, place) if place.scheme == "az" else _amazon(backend, place)


def open_bulk(backend: str, place: Place) -> Store | None:
    """The same store, as it deletes many keys by one request; None where we know of no such."""
    return _amazon(backend, place, bulk=True) if place.scheme == "s3" else None


def _amazon(backend: str, place: Place, *, bulk: bool = False) -> Store:
    keys = s3_keys(backend, place)
    return S3Store(
        place.bucket,
        client_options=_client(place),
        retry_config=_retry(),
        credential_provider=None if keys is None else _provider(keys),
        endpoint=place.address if place.virtual else place.endpoint,
        region=place.region,
        virtual_hosted_style_request=place.virtual,
        skip_signature=False,
        disable_bulk_delete=not bulk,
    )


def _google(backend: str, place: Place) -> Store:
    config: GCSConfig = {}
    if account := own_value(backend, "SERVICE_ACCOUNT"):
        config["service_account"] = account
    if place.host != "storage.googleapis.com":
        config["base_url"] = place.endpoint
    return GCSStore(
        place.bucket, config=config, client_options=_client(place), retry_config=_retry()
    )


def _azure(backend: str, place: Place) -> Store:
    config: AzureConfig = {"account_name": place.account, "endpoint": place.service}
    if key := own_value(backend, "ACCOUNT_KEY"):
        config["account_key"] = key
    if key := own_value(backend, "SAS_TOKEN"):
        config["sas_key"] = key
    return AzureStore(
        place.bucket, config=config, client_options=_client(place), retry_config=_retry()
    )


def _client(place: Place) -> "ClientConfig":
    return {
        "allow_http": place.plain,
        "connect_timeout": CONNECT,
        "timeout": LONGEST,
        "user_agent": "modelfloat",
    }


def _retry() -> "RetryConfig":
    return {
        "max_retries": 1,
        "backoff": {"init_backoff": timedelta(seconds=0.05), "max_backoff": timedelta(seconds=0.2)},
        "retry_timeout": timedelta(seconds=10),
    }


class _provider:  # noqa: N801 - a function that remembers, and shows nothing in a traceback
    """Hands out one key pair."""

    def __init__(self, keys: S3Keys) -> None:
        self._keys = keys

    def __call__(self) -> "S3Credential":
        return {
            "access_key_id": self._keys.access_key_id,
            "secret_access_key": self._keys.secret_access_key,
            "token": self._keys.token,
            "expires_at": None,
        }
