"""All plots, drawn from plain series. matplotlib is imported when the first plot is drawn."""
