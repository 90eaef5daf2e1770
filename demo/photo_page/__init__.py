"""What the page of ``demo/app.py`` is made of; nothing else uses it."""
