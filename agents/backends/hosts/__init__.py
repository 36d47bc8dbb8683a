"""What a provider's CloudNets are embedded on: hosts and switches by plugin (paper 002, 2.4, 4.2).

port        what a plugin for hosts must do, and the values that it is told
memory      hosts in memory that run their state machine
guest       what runs in a VNode there
virt        hosts that libvirt manages
plugins     which plugin has which host or switch, by attribute
fabric      VLANs on the ports of switches, as rules
images      images that are on hosts before they are needed
embedder    makes, moves and removes what placements say
"""
