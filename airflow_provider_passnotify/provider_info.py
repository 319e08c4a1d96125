"""What Airflow reads about this provider (entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any

from airflow_provider_passnotify import __version__, connection_form

_PACKAGE = "airflow_provider_passnotify"
_NAME = "PassNotify"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata (Airflow's ``provider_info.schema.json``)."""
    return {
        "package-name": "airflow-provider-passnotify",
        "name": _NAME,
        "description": "Send notifications to wallet passes, and take them away again.",
        "versions": [__version__],
        "hooks": [_modules("hooks")],
        "operators": [_modules("operators")],
        "sensors": [_modules("sensors")],
        "triggers": [_modules("triggers")],
        "notifications": [f"{_PACKAGE}.notifications.passnotify.PassNotifyNotifier"],
        "transfers": [
            {
                "source-integration-name": "SQL",
                "target-integration-name": _NAME,
                "python-module": f"{_PACKAGE}.transfers.sql_to_passnotify",
            }
        ],
        "config": {
            "passnotify": {
                "description": "What the operators of airflow-provider-passnotify take where the DAG says nothing.",
                "options": {
                    "journal_path": {
                        "description": (
                            "A folder, local or in any object storage that Airflow reaches, in which tasks that send "
                            "keep the records of what they sent, so that no retry sends it again. Empty: Airflow's "
                            "own task state where there is one (Airflow 3.3 and later), else nothing."
                        ),
                        "version_added": __version__,
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/passnotify-journal",
                        "default": "",
                    },
                },
            },
        },
        "connection-types": [
            {
                "connection-type": "passnotify",
                "hook-name": _NAME,
                "hook-class-name": f"{_PACKAGE}.hooks.passnotify.PassNotifyHook",
                "conn-fields": connection_form.conn_fields(),
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": connection_form.RELABELING,
                    "placeholders": connection_form.PLACEHOLDERS,
                },
            }
        ],
    }


def _modules(room: str) -> dict[str, Any]:
    return {"integration-name": _NAME, "python-modules": [f"{_PACKAGE}.{room}.passnotify"]}
