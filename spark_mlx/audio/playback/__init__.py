"""The parts of the player, in the order of the data.

feeder.py      what was written → pieces that are ready, a tenth of a second ahead
renderer.py    pieces → the device's next frames, in PortAudio's thread
output.py      the stream to a device: opened, watched, closed
portaudio.py   the devices there are, and what is said when there is none
"""
