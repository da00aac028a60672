"""An output module for speech-dispatcher, through which screen readers speak.

protocol.py   lines and blocks in, replies and events out
ssml.py       a message → texts with the places of their marks
settings.py   what SET chooses, and what the module's own file says
names.py      what characters and keys are called
clips.py      characters and keys that are spoken already
feed.py       sound on its way from the thread that makes it
source.py     where the sound is made: the daemon, or a model of our own
listing.py    the voices a screen reader can choose from
sound.py      speed, pitch and volume of samples
output.py     where they go: to the server, or to this machine's own device
messages.py   a command's text → a message
rehearsal.py  makes the clips, while nobody wants anything else
speaker.py    a message → its sound, marks and end
module.py     the commands, and `main`
"""
