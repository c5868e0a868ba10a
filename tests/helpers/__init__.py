"""Real small parts that tests are made of: models, files, trainings, searches."""
