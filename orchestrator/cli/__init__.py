"""What all commands share: their options, their process, and what they print.

arguments.py   options: which space, changed how, which store, which assets
command.py     how a command starts and ends, and reports bad input
stopping.py    Ctrl-C, SIGTERM, SIGHUP          output.py      output that outlives its reader
damage.py      damaged files of a store         addresses.py   does a server answer
"""
