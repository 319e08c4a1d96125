"""The fields of the connection form, once; Airflow 3.2 and later read them from the provider info, earlier ones from
the hook. Every option that :mod:`airflow_provider_passnotify.api.config` reads from Extra has its field here.
"""

from __future__ import annotations

from typing import Any

# name: (label, JSON type, explanation)
FIELDS: dict[str, tuple[str, str, str]] = {
    "timeout": ("Timeout", "string", "Seconds to connect and to wait for an answer: 30, or 10,30. Default: 10,30."),
    "max_retries": (
        "Retries",
        "integer",
        "How often one request is repeated when it surely was not sent, or may be sent twice. 0 to 10. Default: 3.",
    ),
    "requests_per_second": (
        "Requests per second",
        "string",
        "The most one process asks of the API. Default: no limit.",
    ),
    "max_connections": ("Connections", "integer", "Connections at once, for batches. 1 to 256. Default: 32."),
    "api_revision": ("API revision", "string", "Sent as Api-Revision. Default: 1.2."),
    "verify": ("Verify TLS", "string", "true, false, or the path of a CA bundle. Default: true."),
    "proxies": (
        "Proxies",
        "string",
        'JSON such as {"https": "http://proxy.example.com:3128"}. Default: those of the environment.',
    ),
    "allow_http": ("Allow plain http", "string", "true to send the credential unencrypted. Default: false."),
}

RELABELING = {"login": "Login (project key)", "password": "Password (project secret, or the Base64 key alone)"}
PLACEHOLDERS = {
    "host": "https://wallet-api.example.com",
    "schema": "https",
    "login": "leave empty when the password is the Base64 key",
    "password": "project secret, or Base64 key",
}


def conn_fields() -> dict[str, dict[str, Any]]:
    """Return the fields as the provider info has them."""
    return {
        name: {"label": label, "description": description, "schema": {"type": [kind, "null"]}}
        for name, (label, kind, description) in FIELDS.items()
    }


def widgets() -> dict[str, Any]:
    """Return the fields as WTForms has them."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    classes = {"string": StringField, "integer": IntegerField}
    return {
        name: classes[kind](label, validators=[Optional()], widget=BS3TextFieldWidget(), description=description)
        for name, (label, kind, description) in FIELDS.items()
    }
