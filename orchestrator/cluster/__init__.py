"""The command `python -m orchestrator.cluster`.

__main__.py         check, prepare, release
file.py             what is wrong with a file for `ray up`      aws.py   and with one for AWS
stack.py            prepare and release: what AWS must have, as stack.yaml says
cloudformation.py   a CloudFormation stack: find, create, update, delete
"""
