"""What saving costs an agent's own task: ``python -m benchmarks.integrations.langchain``, say."""
