"""A study while it runs: :mod:`.snapshot` reads its folder, :mod:`.sheets` puts it into words and tables, and
:mod:`.terminal` and :mod:`.page` show these."""
