"""Every picture that we draw; takes plain series. matplotlib loads when the first is drawn."""
