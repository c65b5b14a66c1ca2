"""actrec: ablation and hyperparameter studies for video action recognition, distributed with Ray."""
