"""What the suite is compared with: programs that import nothing of it, each started in a process of its own.

Each file is the whole of what is timed, as somebody without this suite would write it. What the files have in common
(the network, the JSON line) is therefore repeated in them.
"""
