"""A study's folder as one offline page: tables → values → figures → HTML. Needs neither torch nor Ray."""
