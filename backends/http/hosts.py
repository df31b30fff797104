"""Which hosts a URL can name."""

import httpx2


def is_host(host: str | None) -> bool:
    """Whether a host in a URL is an address, or a name that can be looked up."""
    if not host:
        return False
    try:
        httpx2.URL(f"http://[{host}]/" if ":" in host else f"http://{host}/")
        host.encode("idna")  # by this every resolver asks
    except (httpx2.InvalidURL, UnicodeError):
        return False
    return True
