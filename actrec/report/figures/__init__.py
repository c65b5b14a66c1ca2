"""One file a figure: plain values in, a ``go.Figure`` out. Nothing is counted here."""
