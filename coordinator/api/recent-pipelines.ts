/**
 * Compiled pipelines of late: of a hundred submits in a row ninety have the same file, and reading it is a tenth of the way
 * from a submit to its container (1.1 of 10 ms). What is returned is shared: nobody changes it.
 */
import { Recent } from '../../shared/async/recent.js';
import { compilePipeline, type Compilation } from '../pipeline/compile.js';

const kept = 32;
/** A large file is one of a large run, of which reading it is the smaller part. */
const maxKeptLength = 256 * 1024;

export class RecentPipelines {
  readonly #compiled = new Recent<string, Compilation>(kept);

  /** As `compilePipeline`. */
  compile(text: string, options: { readonly file: string }): Compilation {
    if (text.length > maxKeptLength) return compilePipeline(text, options);
    const key = `${options.file}\0${text}`;
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const compilation = compilePipeline(text, options);
    this.#compiled.set(key, compilation);
    return compilation;
  }
}
