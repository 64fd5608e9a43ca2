"""Registers the coverage page with Airflow: a menu entry and the app behind it.

Airflow loads this file in every process, tasks included. So nothing heavy is imported here; the app is made when the
API server asks for it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

ROUTE = "logferry"
"""The page is served at ``{prefix}/logferry/`` and shown by Airflow at ``{prefix}/plugin/logferry``."""

_SHAPE = (
    '<path d="M4 14h16l-2.5 5h-11z"/><path d="M7 14V8h10v6"/><path d="M12 8V4"/>'
    '<path d="M2 22c1.7 0 1.7-1 3.3-1s1.7 1 3.4 1 1.6-1 3.3-1 1.7 1 3.3 1 1.7-1 3.4-1 1.6 1 3.3 1"/>'
)


def base_path() -> str:
    """The path of ``[api] base_url``, which begins and ends with a slash."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + "/"


class LogferryPlugin(AirflowPlugin):
    name = "logferry"

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The entry ``Archive`` of the navigation."""
        return [
            {
                "name": "Archive",
                "href": f"{base_path()}{ROUTE}/",
                "destination": "nav",
                "url_route": ROUTE,
                "nav_top_level": True,
                "icon": _icon("#3f3f46", halo="#ffffff"),
                "icon_dark_mode": _icon("#d4d4d8"),
            }
        ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app, made at the first look: only the API server takes one."""
        from logferry_airflow.page.app import serve

        return [{"app": serve(), "url_prefix": f"/{ROUTE}", "name": "Logferry coverage"}]


def _icon(colour: str, halo: str = "none") -> str:
    """A ferry, as an image that needs no request. ``halo``: Airflow colours no plugin's icon, and puts a dark ground
    behind that of the page which is open."""
    image = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 1 26 24" fill="none" stroke-linecap="round" '
        f'stroke-linejoin="round"><g stroke="{halo}" stroke-width="4.5">{_SHAPE}</g>'
        f'<g stroke="{colour}" stroke-width="2">{_SHAPE}</g></svg>'
    )
    return f"data:image/svg+xml,{quote(image)}"
