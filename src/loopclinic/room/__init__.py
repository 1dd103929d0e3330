"""Live room: learners' computers send how far they are to the facilitator's, which shows it to the room.

`sender` runs on a learner's computer; `entry` is what it sends, and what the room accepts of it. `live_room`
holds the learners, their keys and the minutes, `room_page` draws them, `web` serves both. `hub` asks JupyterHub who
somebody is.
"""
