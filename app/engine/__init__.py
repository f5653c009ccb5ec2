"""The owner of the device: all adaptation and prediction of a server runs here."""
