/*
 * <port.h> as illumos has it, as far as programs use it: port_create(3C), port_associate(3C),
 * port_get(3C), port_send(3C), port_alert(3C). event_port.cc implements it over Linux.
 *
 * PORT_SOURCE_FD is the only source that can be associated; files, timers, message queues and
 * asynchronous reads cannot.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned short ushort_t;
typedef unsigned int uint_t;
typedef struct timespec timespec_t;

/* NOLINTBEGIN(readability-identifier-naming): the system's names. */
typedef struct port_event {
  int portev_events;       /* what happened, in the source's own words */
  ushort_t portev_source;  /* PORT_SOURCE_... */
  ushort_t portev_pad;     /* reserved */
  uintptr_t portev_object; /* PORT_SOURCE_FD: the number */
  void* portev_user;       /* the cookie */
} port_event_t;

typedef struct port_notify {
  int portnfy_port;
  void* portnfy_user;
} port_notify_t;
/* NOLINTEND(readability-identifier-naming) */

#define PORT_SOURCE_AIO 1
#define PORT_SOURCE_TIMER 2
#define PORT_SOURCE_USER 3
#define PORT_SOURCE_FD 4
#define PORT_SOURCE_ALERT 5
#define PORT_SOURCE_MQ 6
#define PORT_SOURCE_FILE 7

#define PORT_ALERT_SET 0x01
#define PORT_ALERT_UPDATE 0x02
#define PORT_ALERT_INVALID (PORT_ALERT_SET | PORT_ALERT_UPDATE)

int port_create(void);
int port_associate(int port, int source, uintptr_t object, int events, void* user);
int port_dissociate(int port, int source, uintptr_t object);
int port_send(int port, int events, void* user);
int port_sendn(int ports[], int errors[], uint_t count, int events, void* user);
int port_get(int port, port_event_t* event, timespec_t* timeout);
int port_getn(int port, port_event_t list[], uint_t max, uint_t* nget, timespec_t* timeout);
int port_alert(int port, int flags, int events, void* user);

#ifdef __cplusplus
}
#endif
