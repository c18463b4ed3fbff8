// Linux' own; the few that illumos has, too, are there for programs of Linux.
#pragma once
#error "<sys/prctl.h> is Linux' own"
