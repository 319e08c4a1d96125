"""What the environment says about proxies and certificates. Both clients read it here, so both read it the same way."""

from __future__ import annotations

import os
import urllib.request

from airflow_provider_passnotify.api.base_url import is_loopback
from airflow_provider_passnotify.api.options import is_ca_bundle, is_proxy_url

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for a host.

    :raises ValueError: it names the variable. It never repeats the value, which may contain a password.
    """
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    kind = next((kind for kind in (scheme, "all") if proxies.get(kind)), None)
    if kind is None:
        return None
    url = proxies[kind] if "://" in proxies[kind] else f"http://{proxies[kind]}"  # many write only host:port
    if not is_proxy_url(url):
        variable = next((name for name in os.environ if name.lower() == f"{kind}_proxy"), f"{kind}_proxy")
        raise ValueError(
            f"the environment variable {variable} holds no proxy that can be used. It must be like "
            "http://proxy.example.com:3128 (http or https, no SOCKS). Mend it, or give the extra option proxies: "
            "{} means no proxy."
        )
    return url


def ca_bundle() -> str | None:
    """Return the CA bundle that the environment names, by the same rules as requests.

    :raises ValueError: it names the variable.
    """
    variable = next((name for name in _CA_BUNDLES if os.environ.get(name)), None)
    if variable is None:
        return None
    path = os.environ[variable]
    if not is_ca_bundle(path):
        raise ValueError(
            f"the environment variable {variable} names no CA bundle (a PEM file or a folder) that can be read: "
            f"{path!r:.200}. Mend it, or give the extra option verify."
        )
    return path
