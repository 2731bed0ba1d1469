"""The report as one HTML page: page.py fills page.html (.css, .js).

browser.py   the adversarial examples     changes.py   what an attack changed in a text
"""
