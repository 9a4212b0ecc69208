"""Measurements that are too long for the tests: quality of detection, speed."""
