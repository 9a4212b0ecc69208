"""What in the background a suspect class leans on: windows, their clusters, donors, contrasts."""
