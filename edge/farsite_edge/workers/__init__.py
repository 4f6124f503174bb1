"""A process of its own for each session: what its tunnel does or suffers touches nobody else.

main ── control socket ── zygote ── fork ── worker          bytes of devices: worker ── device, never through main
  └──── control socket, one per session ──────┘             bytes of the API: worker ── socket pair ── main
"""
