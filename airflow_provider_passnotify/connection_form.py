"""The connection form: one field for each option of :mod:`airflow_provider_passnotify.api.options`.

Airflow 3.2 and later read the fields from the provider info, earlier versions from the hook.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_passnotify.api.options import OPTIONS

RELABELING = {"login": "Login (project key)", "password": "Password (project secret)"}
PLACEHOLDERS = {
    "host": "https://wallet-api.example.com",
    "schema": "https",
    "login": "leave it empty if the password is the Base64 key",
    "password": "or, without a login, the Base64 key of both",
}


def conn_fields() -> dict[str, dict[str, Any]]:
    """Return the fields as the provider info has them."""
    return {
        option.name: {
            "label": option.label,
            "description": option.explanation,
            "schema": {"type": [option.kind, "null"]},
        }
        for option in OPTIONS.values()
    }


def widgets() -> dict[str, Any]:
    """Return the fields as WTForms has them."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    classes = {"string": StringField, "integer": IntegerField}
    return {
        option.name: classes[option.kind](
            option.label, validators=[Optional()], widget=BS3TextFieldWidget(), description=option.explanation
        )
        for option in OPTIONS.values()
    }
