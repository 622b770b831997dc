"""The participants."""

from benchmarks.peers.base import Peer


def _peer(key: str, label: str, module: str, distribution: str | None) -> Peer:
    return Peer(key, label, module, distribution, f"benchmarks.peers.{key}")


PEERS = {
    peer.key: peer
    for peer in (
        _peer("ours", "selectools-observe", "selectools_observe", "selectools-observe"),
        _peer("selectools", "selectools", "selectools.observe", "selectools"),
        _peer(
            "langgraph",
            "LangGraph AsyncSqliteSaver",
            "langgraph.checkpoint.sqlite.aio",
            "langgraph-checkpoint-sqlite",
        ),
        _peer(
            "openai_agents",
            "OpenAI Agents AsyncSQLiteSession",
            "agents.extensions.memory",
            "openai-agents",
        ),
        _peer("mlflow", "MLflow tracing", "mlflow", "mlflow"),
        _peer("raw", "raw sqlite3", "sqlite3", None),
        _peer(
            "langgraph_postgres",
            "LangGraph AsyncPostgresSaver",
            "langgraph.checkpoint.postgres.aio",
            "langgraph-checkpoint-postgres",
        ),
        _peer("bare_psycopg", "bare psycopg", "psycopg", "psycopg"),
        _peer(
            "bare_clickhouse",
            "bare clickhouse-connect",
            "clickhouse_connect",
            "clickhouse-connect",
        ),
    )
}
