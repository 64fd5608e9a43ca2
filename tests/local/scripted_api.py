"""Airflow's API by script: what each path answers, and what was asked of it."""

from __future__ import annotations

from typing import Any

from logferry_local.airflow import Api


class ScriptedApi(Api):
    """``answers``: path → answer, or a list of answers of which the last one stays; other paths are 404."""

    def __init__(self, waiting: list[list[str]] | None = None) -> None:
        super().__init__("http://127.0.0.1:9", "no password")
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self._waiting = waiting or [[]]

    def waiting_for(self) -> list[str]:
        return self._waiting.pop(0) if len(self._waiting) > 1 else self._waiting[0]

    def get(self, path: str, **parameters: Any) -> Any:
        self.asked.append(path)
        answer = self.answers.get(path)
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.posted.append((path, body))
        return {"dag_run_id": f"posted_{len(self.posted)}"}

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        self.patched.append((path, body))
        return {}
