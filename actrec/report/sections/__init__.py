"""The parts of the page: values in, markup out. Nothing is counted and nothing is drawn here."""
