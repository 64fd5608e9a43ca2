"""Who may see and start what, by Airflow's own permissions.

An export is read by whoever may read its DAG ``export_<name>``, whether Airflow knows that DAG yet or not. The page
starts nothing itself: ``may_trigger`` and ``may_unpause`` only tell it which buttons to show, and Airflow checks again.
Who may trigger ``archive_verify`` and see an export may have it verified; ``archive_verify`` itself is one DAG for all
exports, so in Airflow's own UI its trigger permission covers every export.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel
from sqlalchemy.orm import Session


class Access:
    """What one user may do. ``dag_ids``: the DAGs that will be asked about; their teams are looked up at once."""

    def __init__(self, user: BaseUser, dag_ids: Collection[str], session: Session) -> None:
        self._user = user
        self._teams = DagModel.get_dag_id_to_team_name_mapping(list(dag_ids), session=session)

    def readable(self, dag_ids: Collection[str]) -> set[str]:
        """Those of the DAGs that the user may read; auth managers answer for many at once."""
        by_team: dict[str | None, set[str]] = defaultdict(set)
        for dag_id in dag_ids:
            by_team[self._teams.get(dag_id)].add(dag_id)
        found: set[str] = set()
        for team, of_team in by_team.items():
            found |= get_auth_manager().filter_authorized_dag_ids(
                dag_ids=of_team, user=self._user, method="GET", team_name=team
            )
        return found

    def may_trigger(self, dag_id: str) -> bool:
        """Start runs and backfills of the DAG."""
        return get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=self._details(dag_id), user=self._user
        )

    def may_unpause(self, dag_id: str) -> bool:
        return get_auth_manager().is_authorized_dag(
            method="PUT", details=self._details(dag_id), user=self._user
        )

    def _details(self, dag_id: str) -> DagDetails:
        return DagDetails(id=dag_id, team_name=self._teams.get(dag_id))
