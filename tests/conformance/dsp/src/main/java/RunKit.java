import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.Set;

import org.eclipse.dataspacetck.core.system.ConsoleMonitor;
import org.eclipse.dataspacetck.dsp.system.DspSystemLauncher;
import org.eclipse.dataspacetck.runtime.TckRuntime;

/**
 * Runs the kit: {@code RunKit kit.properties [name...]}. With names, only the tests and containers called so.
 * Prints one JSON line a test (see {@link Outcomes}) and the kit's own totals; fails if a test failed or none ran.
 */
public final class RunKit {
    private RunKit() {
    }

    public static void main(String[] args) throws IOException {
        var names = Set.of(Arrays.copyOfRange(args, 1, args.length));
        var runtime = TckRuntime.Builder.newInstance()
                .properties(read(Path.of(args[0])))
                .addPackage("org.eclipse.dataspacetck.dsp.verification")
                .launcher(DspSystemLauncher.class)
                .monitor(new ConsoleMonitor(false, false));
        if (!names.isEmpty()) {
            runtime.displayNameMatching(names::contains);
        }
        var summary = runtime.build().execute();
        System.out.printf("{\"totals\":{\"ok\":%d,\"failed\":%d,\"skipped\":%d}}%n", summary.getTestsSucceededCount(),
                summary.getTestsFailedCount(), summary.getTestsSkippedCount());
        System.out.flush();
        // The kit leaves threads of its own running; they must not keep the process alive.
        System.exit(summary.getTotalFailureCount() == 0 && summary.getTestsSucceededCount() > 0 ? 0 : 1);
    }

    private static Map<String, String> read(Path path) throws IOException {
        var properties = new Properties();
        try (var reader = Files.newBufferedReader(path)) {
            properties.load(reader);
        }
        var map = new HashMap<String, String>();
        properties.stringPropertyNames().forEach(key -> map.put(key, properties.getProperty(key)));
        return map;
    }
}
