"""``python -m selectools_observe`` is ``selectools-observe``."""

from .cli import main

main()
