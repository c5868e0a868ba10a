"""Commands of training: ``train``, ``doctor``, ``scaling`` and ``tune``."""
