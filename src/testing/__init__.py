"""Testing Bokeh apps, and whatever speaks to them."""
