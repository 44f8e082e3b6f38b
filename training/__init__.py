"""The pipeline: logs → labels → a trained, calibrated, exported router. Needs the extra ``train``."""
