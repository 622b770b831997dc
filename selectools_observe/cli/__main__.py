"""``python -m selectools_observe.cli`` is ``selectools-observe``."""

from . import main

main()
