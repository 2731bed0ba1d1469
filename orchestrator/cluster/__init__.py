"""The command `python -m orchestrator.cluster`.

__main__.py         check, node, prepare, release
file.py             what is wrong with a file for `ray up`      aws.py   with one for AWS
for_space.py        whether its machines could run a space      node.py  whether this one could
sizes.py            how many bytes a space takes
stack.py            prepare and release: what a cluster on AWS needs, from stack.yaml
slurm.py            what cluster-slurm.sh asks in its job
cloudformation.py   a CloudFormation stack: find, create, update, delete
"""
