// The connection to the Docker Engine, made at the first need and then shared. One that failed is tried again at the next
// call, so that an Engine that starts later is found.

import { connectDocker, type DockerEngine } from '@varve/docker';

export class DockerConnection {
  readonly #host: string | undefined;
  #engine: Promise<DockerEngine> | undefined;

  constructor(host: string | undefined) {
    this.#host = host;
  }

  /** DOCKER_UNREACHABLE when no Engine answers. */
  get(): Promise<DockerEngine> {
    if (!this.#engine) {
      const engine = connectDocker({ host: this.#host });
      this.#engine = engine;
      engine.catch(() => {
        if (this.#engine === engine) this.#engine = undefined;
      });
    }
    return this.#engine;
  }
}
