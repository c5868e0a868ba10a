from hypothesis import settings

# the first example may have to load a library, and the machine may be busy: time is for pytest's own limit to watch
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
