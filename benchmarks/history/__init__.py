"""Night after night: false alarms over years, and how soon a planted cue is named."""
