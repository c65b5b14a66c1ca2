"""A study while it runs: :mod:`.follow` reads its folder, :mod:`.snapshot` makes values of what is there,
:mod:`.sheets` words and tables of these, and :mod:`.terminal` and :mod:`.page` show them."""
