"""Meta-learning as pure mathematics: values in, values out. No architecture has a name here."""
