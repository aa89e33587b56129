// Runs PostgreSQL's programs inside the container that holds the server: the versions fit, and nothing is published.

import type { DockerEngine } from '@varve/docker';
import type { ToolRunner } from '@varve/postgres';

/** Programs run as the container's own user, in its environment. */
export function containerTools(docker: DockerEngine, containerId: string): ToolRunner {
  return {
    run(request) {
      const started = docker.exec(containerId, {
        command: request.command,
        env: request.env,
        ...(request.stdin === undefined ? {} : { stdin: request.stdin }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
      const finished = started.then((process) => process.finished);
      // Whoever reads stdout first gets the failure there.
      finished.catch(() => undefined);
      return {
        stdout: (async function* () {
          yield* (await started).stdout;
        })(),
        finished,
      };
    },
  };
}
